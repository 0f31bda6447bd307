"""Sources, catalog files, what is stored of them, and the refresh job.

Authority: what a sources file and a catalog file mean, and which models are served. `store` and `queries`
hold the only SQL on the catalog's tables.

Guarantees:
* Readers see the models of one reading of a source, never a mixture: they are replaced in one transaction,
  together with the completion of the refresh job.
* What can not be read or understood replaces nothing: the last good models stay served and the source says
  why. One broken model costs that model only, and is named.
* Models come from the present configuration of their source: a reading made under an older one is dropped,
  and the source stays due.
* A model keeps its id and creation time as long as it stays in its source, and its update time as long as it
  says the same.

Non-guarantees:
* Freshness: a source is as old as its last successful refresh.
* A client that pages through a list while a refresh commits sees older pages from before and newer ones from
  after; no item appears twice unless the attribute that orders the list changed.
"""
