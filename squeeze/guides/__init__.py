"""What a student learns from: a teacher's answers to views of the data, made once or asked for now."""

from squeeze.guides.answers import cache_answers
from squeeze.guides.cached import Cached, open_answers
from squeeze.guides.guide import Guide
from squeeze.guides.live import Live, ask_live

__all__ = ["Cached", "Guide", "Live", "ask_live", "cache_answers", "open_answers"]
