"""What a student learns from: a teacher's answers to views of the data, made once."""

from squeeze.guides.answers import cache_labels

__all__ = ["cache_labels"]
