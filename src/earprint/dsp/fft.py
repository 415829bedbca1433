"""Lengths at which Fourier transforms are fast."""


def fft_length(n: int) -> int:
    """Smallest even number 2^a 3^b 5^c that is at least ``n``: such FFTs are fast."""
    best = 1 << (n - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            length = three * 2
            while length < n:
                length *= 2
            best = min(best, length)
            three *= 3
        five *= 5
    return best
