"""95 % confidence intervals: of a proportion, of the difference of two paired ones, of a mean, of a ratio of means."""

import math

Interval = tuple[float, float]

Z = 1.959963984540054
"""The normal distribution's quantile at 0.975."""

_STUDENT = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)
"""Student's quantiles at 0.975 for 1 to 9 degrees of freedom."""


def wilson_interval(hits: int, samples: int) -> Interval:
    """Return Wilson's score interval of a proportion, within 0 and 1.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927); recommended over the
    textbook's interval by Newcombe, Statistics in Medicine 17 (1998), 857-872, method 3.

    Args:
        hits: How often it happened.
        samples: How often it could have; at least 1.
    """
    share, square = hits / samples, Z * Z / samples
    center = (share + square / 2) / (1 + square)
    width = math.sqrt(share * (1 - share) * square + square * square / 4) / (1 + square)
    # At the ends the limit is 0 or 1 but for rounding.
    return (0.0 if hits == 0 else center - width, 1.0 if hits == samples else center + width)


def paired_interval(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """Return an interval of how much larger the first of two proportions is, found on the same samples.

    Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired data,
    Statistics in Medicine 17 (1998), 2635-2650, method 10: Wilson's intervals of both proportions, squared and added
    with their correlation phi, which is corrected for continuity.

    Args:
        both: Samples that count in both proportions; there is at least one sample in all.
        only_first: Samples that count in the first only.
        only_second: Samples that count in the second only.
        neither: Samples that count in none.
    """
    samples = both + only_first + only_second + neither
    first, second = (both + only_first) / samples, (both + only_second) / samples
    first_low, first_high = wilson_interval(both + only_first, samples)
    second_low, second_high = wilson_interval(both + only_second, samples)
    phi = _phi(both, only_first, only_second, neither)
    down = _square_and_add(first - first_low, second_high - second, phi)
    up = _square_and_add(first_high - first, second - second_low, phi)
    return first - second - down, first - second + up


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    samples = both + only_first + only_second + neither
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    excess: float = both * neither - only_first * only_second
    if excess > 0:
        excess = max(excess - samples / 2, 0.0)
    return excess / math.sqrt(margins) if margins else 0.0


def _square_and_add(a: float, b: float, phi: float) -> float:
    return math.sqrt(a * a - 2 * phi * a * b + b * b)


def mean_interval(mean: float, variance: float, samples: int) -> Interval | None:
    """Return Student's interval of a mean; None below two samples, or where no variance could be measured.

    Args:
        mean: Of the samples.
        variance: Unbiased, of the samples.
        samples: How many.
    """
    if samples < 2 or not (math.isfinite(mean) and 0 < variance < math.inf):
        return None
    width = student_quantile(samples - 1) * math.sqrt(variance / samples)
    return mean - width, mean + width


def ratio_interval(means: Interval, variances: Interval, covariance: float, samples: int) -> Interval | None:
    """Return an interval of the ratio of two means, found on the same samples; of a sum per unit, where units differ.

    By the delta method, with Student's quantile (Cochran, Sampling Techniques, 3rd ed. (1977), 6.3).

    Args:
        means: Of both numbers; the second is positive.
        variances: Unbiased, of the samples of both.
        covariance: Of the two.
        samples: How many.

    Returns:
        None below two samples, or where no variance could be measured.
    """
    if samples < 2 or not math.isfinite(means[0]):
        return None
    ratio = means[0] / means[1]
    variance = variances[0] - 2 * ratio * covariance + ratio * ratio * variances[1]
    return mean_interval(ratio, variance / means[1] / means[1], samples)


def ratio_interval_db(means: Interval, variances: Interval, covariance: float, samples: int) -> Interval | None:
    """Return an interval of the ratio of two means, found on the same samples, in dB.

    By the delta method on the logarithm of the ratio, with Student's quantile (Cochran, Sampling Techniques, 3rd ed.
    (1977), 6.3: the ratio estimate).

    Args:
        means: Of both numbers.
        variances: Unbiased, of the samples of both.
        covariance: Of the two.
        samples: How many.

    Returns:
        None below two samples, or where a mean is not positive or a variance is not finite.
    """
    if samples < 2 or not all(0 < mean < math.inf for mean in means):
        return None
    relative = [variance / mean / mean for variance, mean in zip(variances, means, strict=True)]
    variance = sum(relative) - 2 * covariance / means[0] / means[1]
    if not math.isfinite(variance):
        return None
    center = 10 * math.log10(means[0] / means[1])
    width = 10 / math.log(10) * student_quantile(samples - 1) * math.sqrt(max(variance, 0.0) / samples)
    return center - width, center + width


def student_quantile(degrees: int) -> float:
    """Return Student's quantile at 0.975, to 5 digits.

    From a table below 10 degrees of freedom, else by the expansion of Abramowitz and Stegun, Handbook of Mathematical
    Functions (1964), 26.7.5.
    """
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + sum(term / float(degrees) ** power for power, term in enumerate(terms, 1))
