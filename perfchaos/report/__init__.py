"""The run for people: progress and summary on the terminal, a page, and a table."""

from perfchaos.report.page import write_page
from perfchaos.report.progress import Progress
from perfchaos.report.seconds import write_seconds
from perfchaos.report.summary import print_summary

__all__ = ["Progress", "print_summary", "write_page", "write_seconds"]
