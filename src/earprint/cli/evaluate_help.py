"""Text of ``earprint evaluate --help``."""

HELP = """\
Measure how often excerpts of known recordings are identified.

The references are added to a library. Excerpts are cut from them at random places, distorted, and
identified, and the answers are counted. With --absent, excerpts of recordings that the library does not
hold are identified too; the right answer to these is "no match". Several models and other systems
("peers") get the same queries. Folders are searched for audio files. Most options can be given several
times. Needs scipy: pip install 'earprint[evaluate]'.

\b
Conditions (--condition NAME or NAME=LEVEL,LEVEL), each with the same excerpts:
  clean        as cut
  noise        with --noise, for each --snr: a noise is added at that signal-to-noise ratio in dB
  room         with --rir: played in a room; also counted by the room's reverberation time (RT60), which
               is estimated from its impulse response (ISO 3382)
  room-noise   with --noise and --rir, for each --snr: excerpt and noise are played in the same room
  phone        with --noise and --rir: room-noise at 10 dB, recorded by a device if --device is given,
               limited to 300-3400 Hz, and sent through the Opus codec at 8 kbit/s
  device       with --device: recorded by a device
  speed        for each --speed: played faster or slower, pitch included; the right place is where the
               excerpt begins
  speech       with --speech: speech is added; the level is the ratio of excerpt to speech in dB (-6)
By default all conditions are used for which the options are given.

\b
Metrics, in % of the queries, with 95 % intervals in brackets (bootstrap over recordings, because excerpts
of one recording are not independent):
  top-1            the right recording scores highest, however low
  top-1 & 50 ms    and the place in it is right to 50 ms (the metric of the paper)
  answered         the right recording scores highest and reaches the model's threshold: it is the answer
  & 50 ms          answered, and the place is right to 50 ms
  wrong            another recording is the answer
  false accepts    of excerpts of absent recordings: any recording is the answer

With several systems, each pair is compared on the same queries: how many only one of them gets right,
the difference with its interval, and McNemar's exact test. With at least two absent recordings, systems are
also compared at matched false accepts: each system's threshold is set so that it accepts 1 % of the absent
excerpts of one half of the recordings, and is applied to the other half. The last column is the rate counted
there. It is near 1 % only with many absent recordings.

Files that cannot be used and silent excerpts are left out; the report counts them.

\b
With --out DIR:
  table.md          the printed tables, and more (top-5, 100 ms, repeats, comparisons by condition)
  paper-tables.md   tables 3 to 7 of the paper, its numbers beside ours
  results.json      all counts, intervals, comparisons, ROC curves, histograms, costs, and the settings
  manifest.jsonl    all queries, written before the first is identified; --manifest runs them again
  queries.jsonl     each query with each system's answer
  *.png             accuracy against signal-to-noise ratio, ROC, time errors (needs matplotlib)

Ctrl-C ends the evaluation; the report counts the queries so far and is marked as partial.

\b
Examples:
  earprint evaluate --references music/ --absent other-music/ --noise noises/ --rir rooms/ \\
      --lengths 2 --lengths 5 --snr 0 --snr 10 --out results/
  earprint evaluate --references music/ --noise noises/ --speech talks/ --condition noise=-5,0 \\
      --condition speech=-3,-6,-12 --condition speed=0.97,1.03
  earprint evaluate --references music/ --distractors more-music/ --augment-distractors 8 \\
      --noise noises/ --rir rooms/ --lengths 1 --snr 0 --model dense --model mine.onnx \\
      --peer audfprint=../audfprint --keep-library libraries/ --out comparison/
  cp run/weights.pt paper.pt && earprint evaluate --compute cuda --model paper.onnx --method paper \\
      --references music/ --distractors more-music/ --augment-distractors 40 --noise noises/ --snr 0

\b
Exit code: 0 success, 2 no query could be made, or an error, 130 interrupted.
"""
