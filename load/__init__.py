"""Load on the catalog API, held against service-level objectives.

Authority: who the users are (`users`), how many of them come when (`shapes`), and what they may expect
(`objectives.yaml`). The verdict is the exit code: 0 if every objective is met, 1 if not.

Guarantee: a request's time counts from when it was meant to start. A user who was held up by a stall makes up for
it, request by request, so a stall shows in the percentiles as all who should have come during it would have felt it.

Non-guarantees:
* Percentiles above 100 ms are rounded to two digits by Locust.
* One process makes the load: beyond some hundred requests a second it measures itself.
"""
