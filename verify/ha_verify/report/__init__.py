"""One page that shows a verdict and the runs behind it.

Authority: none. The verdict is made elsewhere; what is drawn here is read from the same histories, for people.

Guarantees:
* The page is one file that opens without a network: its own policy forbids it to load anything.
* Whatever a history holds is shown as text, never as markup or script.
* Where a series is too long to draw, a bucket shows its median, 95th percentile and maximum, never a sample;
  attempts of jobs that did not complete are all drawn, and it is said how many of the completed ones are.
* Nothing is told by colour alone, and every plot has a table.

Non-guarantees:
* The plots judge nothing. Times of the database are drawn on the recorder's clock: where theirs differ, by so much.
* Raw data is linked, not contained: the histories lie beside the page.
"""

from ha_verify.report.page import write_report

__all__ = ["write_report"]
