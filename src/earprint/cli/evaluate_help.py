"""What ``earprint evaluate --help`` says."""

HELP = """\
Measure how often excerpts of known recordings are found.

The references are added to a library. Excerpts are cut from them at random places, distorted, and
identified, and the answers are counted. With --absent, the same is asked about recordings that the
library does not hold, where the right answer is "no match". Several models, and other systems, get the
same questions. A folder is searched for audio files; most options can be given several times.

\b
Conditions (--condition), each with the same excerpts:
  clean        as cut
  noise        with --noise, for each --snr: a noise added at that ratio
  room         with --rir: played in a room; also counted by the room's reverberation time (RT60), which
               is estimated from its response (ISO 3382)
  room-noise   with both: excerpt and noise played in the same room, for each --snr
  phone        with both: that at 10 dB, through a response of --device if there are any, 300-3400 Hz
               only, and through the Opus codec at 8 kbit/s
  speed        for each --speed: played that much faster or slower, pitch included; the right place is
               where the excerpt begins

\b
Counted, in % of the queries, with 95 % intervals (Wilson) in brackets:
  top-1            the right recording scores highest, however low
  top-1 & 50 ms    and the place in it is right to 50 ms (the metric of the paper)
  answered         it scores highest and reaches the model's threshold: it is the answer
  & 50 ms          answered, and the place is right to 50 ms
  wrong            another recording is the answer
  false accepts    of excerpts of absent recordings: anything is the answer

Also told: right answers at the threshold that lets 1 % false accepts through, time for a question asked
by itself, size of the index, speed of adding. Files that cannot be used and excerpts that are silent are
left out, and it is said how many.

\b
With --out DIR:
  table.md          what is printed, and more counts (top-5, 100 ms, repeats of the same sound)
  paper-tables.md   laid out as tables 3 to 7 of the paper, its numbers beside ours
  results.json      all counts, intervals, ROC curves, histograms, costs, and the settings
  manifest.jsonl    all queries, written before the first is asked; --manifest asks them again
  queries.jsonl     each query with each system's answer
  *.png             accuracy against signal-to-noise ratio, ROC, time errors (needs matplotlib:
                    pip install 'earprint[evaluate]')

Ctrl-C while questions are asked ends the asking; what has been answered is reported, as partial.

\b
Examples:
  earprint evaluate --references music/ --absent other-music/ --noise noises/ --rir rooms/ \\
      --lengths 2 --lengths 5 --snr 0 --snr 10 --out results/
  earprint evaluate --references music/ --distractors more-music/ --augment-distractors 8 \\
      --noise noises/ --rir rooms/ --lengths 1 --snr 0 --model dense --model mine.onnx \\
      --peer audfprint=../audfprint --keep-library libraries/ --out comparison/
  cp run/weights.pt paper.pt && earprint evaluate --compute cuda --model paper.onnx --method paper \\
      --references music/ --distractors more-music/ --augment-distractors 40 --noise noises/ --snr 0

\b
Exit code: 0 all fine, 2 there was nothing to ask, or an error, 130 interrupted.
"""
