"""The report of a labelled batch: what came, when, what keeps coming back, and who has to do it, on one page."""

from triagedesk.report.report import Job, Report, make_report

__all__ = ["Job", "Report", "make_report"]
