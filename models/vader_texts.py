"""The short texts of the package vaderSentiment: its source archive holds the data of the ICWSM 2014 paper."""

import tarfile

from models.fetch import fetch


def read_vader_texts(source: str) -> list[str]:
    """Returns the texts of one source in order, fetched if need be; see `read_rated_vader_texts`."""
    return [text for _, text in read_rated_vader_texts(source)]


def read_rated_vader_texts(source: str) -> list[tuple[float, str]]:
    """Returns the mean ratings (-4, most negative, to 4) and texts of one source in order, fetched if need be.

    Args:
        source: "tweets", "amazonReviewSnippets", "movieReviewSnippets" or "nytEditorialSnippets".
    """
    path = fetch(
        "vaderSentiment",
        "3.3.2",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    )
    with tarfile.open(path) as archive:
        stream = archive.extractfile(f"hutto_ICWSM_2014/{source}_GroundTruth.txt")
        assert stream is not None, "the member is a regular file"
        lines = stream.read().decode("utf-8").splitlines()
    fields = (line.split("\t", 2) for line in lines)
    return [(float(rating), text) for _number, rating, text in fields]
