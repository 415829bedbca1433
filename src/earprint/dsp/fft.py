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


def fast_length(n: int) -> int:
    """Give the next length at or above ``n`` of the form 2^a * {1, 1.25, 1.5}: a fast transform."""
    power = 1 << max(n - 1, 1).bit_length()
    return next(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= n)
