"""The report of a run: one page that opens without a network, and a summary in Markdown."""

from triagedesk.evals.report.page import REPORT, write_report
from triagedesk.evals.report.summary import markdown_summary

__all__ = ["REPORT", "markdown_summary", "write_report"]
