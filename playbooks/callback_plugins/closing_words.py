"""Ends a run with what its tasks sum up, such as the table of what runs, and one line about changes."""

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: closing_words
    type: notification
    short_description: prints the status table and one line about changes at the end of a run
    description: The last summary of each kind of task, such as cluster_status, is printed after the recap.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "closing_words"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._summaries = {}

    def v2_runner_on_ok(self, result):
        self._remember(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._remember(result)

    def v2_playbook_on_stats(self, stats):
        if self._summaries:
            self._display.display("\n\n".join(self._summaries.values()) + "\n")
        if stats.failures or stats.dark:
            return
        changes = sum(stats.changed.values())
        steps = f"{changes} {'step' if changes == 1 else 'steps'}"
        if not changes:
            self._display.display("Nothing changed: everything already was as described.")
        elif context.CLIARGS.get("check"):
            self._display.display(f"Not done: {steps} would change something.")
        else:
            self._display.display(f"Done: {steps} changed something.")

    def _remember(self, result):
        if "summary" in result._result:
            self._summaries[result._task.action] = result._result["summary"]
