"""How the settings of LNTL+ were chosen: two lists, fixed before they were run, judged by held-out training images.

5,000 images are held out of training, and of pretraining; they are recoloured at random as the test is. No setting is
chosen on the test. `python reproduce.py --studies selection selection2 longer` runs the lists.
"""

import statistics

from evidence.settings import STARTS, Setting

JUDGED_BY = {
    "held-out images, recoloured": "holdout_unbiased_accuracy",
    "as they are": "holdout_accuracy",
    "accuracy of h on them": "holdout_bias_accuracy",
}
CRITERION = JUDGED_BY["held-out images, recoloured"]
TIE = 0.001  # five of the 5,000 images


def candidate(method, mu, lr, lambda_=0.01, smoothing=None, period=4, start=None):
    """A setting of the first list. start: None for random weights."""
    flags = f"--holdout 5000 --mu {mu:g} --lr {lr:g} --lambda_ {lambda_:g}" + ("" if start else " --from_scratch")
    name = f"{start or 'holdout'}_mu{mu:g}_lr{lr:g}_lambda{lambda_:g}"
    if method == "lntl_plus":
        flags += f" --prior bins --smoothing {smoothing or 0:g}"
        name += f"_smoothing{smoothing:g}" if smoothing else ""
    return Setting(name, flags, method, period=period, start=start)


SELECTION = (
    candidate("lntl_plus", 0.1, 0.01),
    candidate("lntl_plus", 0.03, 0.01),
    candidate("lntl_plus", 0.3, 0.01),
    candidate("lntl_plus", 0, 0.01, lambda_=0),  # its label loss alone
    candidate("lntl_plus", 0.1, 0.01, smoothing=0.03),
    candidate("lntl_plus", 0.1, 0.01, smoothing=0.1),
    candidate("lntl_plus", 0.1, 0.01, smoothing=0.3),
    candidate("lntl_plus", 0.3, 0.01, smoothing=0.1),
    candidate("lntl", 0.1, 0.01),  # all but its label loss
    candidate("lntl_plus", 0.1, 0.01, start="holdout100"),
    candidate("lntl", 0.1, 0.001, period=40, start="holdout100"),  # the paper's
)


def second(prior, smoothing, width=None, epochs=10, average=0):
    """A setting of the second list: μ, λ and the learning rate as chosen by the first, the cuts after .4 and .8."""
    flags = f"--holdout 5000 --from_scratch --prior {prior} --smoothing {smoothing:g}"
    name = f"holdout_{prior}{f'_width{width:g}' if width else ''}_smoothing{smoothing:g}"
    flags += f" --prior_width {width:g}" if width else ""
    if average:
        flags, name = f"{flags} --average {average}", f"{name}_epochs{epochs}"
    return Setting(name, flags, "lntl_plus", epochs=epochs, period=round(0.4 * epochs))


SECOND = (  # beside the two of the first list that these follow on, which are not run again
    second("bins", 0.01),
    second("colour", 0.03, 6),
    second("colour", 0.01, 6),
    second("colour", 0.1, 6),
    second("colour", 0.03, 3),
    second("colour", 0.03, 12),
)
OF_FIRST = {("bins", "-", "0.03"): SELECTION[4], ("bins", "-", "0.1"): SELECTION[5]}
CHOSEN = ("colour", 0.03, 6)  # by `pick` of the list
LONGER = tuple(second(*CHOSEN, epochs=epochs, average=5) for epochs in (20, 40, 100))


# ------------------------------------------------------------------------------------------------- tables


def logs_of(runs, setting):
    """The logs of a setting, one a seed."""
    return [r["log"] for r in runs.values() if r["method"] == f"{setting.method}_{setting.name}"]


def values_of(setting):
    """{flag: value} of a setting."""
    words = setting.flags.replace(" --from_scratch", "").strip("-").split(" --")
    return dict(pair.split() for pair in words)


def last(logs, key):
    """The mean over the seeds of a value after the last epoch, or None where a log lacks it."""
    values = [log[-1].get(key) for log in logs]
    return statistics.fmean(values) if values and None not in values else None


def shown(value):
    return "-" if value is None else f"{value:.4f}"


def first_list(runs):
    """{(method, μ, lr, λ, smoothing, start): the logs of all seeds}, as far as a setting of the first list was run."""
    found = {}
    for setting in SELECTION:
        flags = values_of(setting)
        start = f"baseline, {STARTS[setting.start].epochs} epochs" if setting.start else "random"
        key = setting.method, flags["mu"], flags["lr"], flags["lambda_"], flags.get("smoothing", "-"), start
        found[key] = logs_of(runs, setting)
    return found


def first_table(runs):
    """What the settings of the first list were judged by, in Markdown: held-out images, and no test."""
    rows = ["| method | μ | lr | λ | smoothing | start | " + " | ".join(JUDGED_BY) + " |"]
    rows.append("|" + "---|" * (6 + len(JUDGED_BY)))
    for setting, logs in first_list(runs).items():
        rows.append("| " + " | ".join([*setting, *(shown(last(logs, key)) for key in JUDGED_BY.values())]) + " |")
    return "\n".join(rows)


def second_list(runs):
    """{(prior, width, smoothing, epochs): logs} of the second list, the simplest first."""
    found = {(*key, "10"): logs_of(runs, setting) for key, setting in OF_FIRST.items()}
    for setting in SECOND:
        found[key_of(setting)] = logs_of(runs, setting)
    return found


def longer_list(runs):
    """The same of the chosen one, trained longer; an average of weights is a candidate of its own, after its run."""
    found = {}
    for setting in LONGER:
        found[key_of(setting)] = logs_of(runs, setting)
        averaged = [
            [{**log[-1], **{key: log[-1].get(f"averaged_{key}") for key in JUDGED_BY.values()}}]
            for log in logs_of(runs, setting)
        ]
        found[(*key_of(setting)[:3], f"{setting.epochs}, the last 5 averaged")] = averaged
    return found


def key_of(setting):
    flags = values_of(setting)
    return flags["prior"], flags.get("prior_width", "-"), flags["smoothing"], str(setting.epochs)


def pick(found):
    """The rule: the highest criterion after the last epoch; of those within TIE of it, the first of the list.

    found: {key: logs}. None as long as one of the list has not been run.
    """
    return first_of_best({key: last(logs, CRITERION) for key, logs in found.items()})


def first_of_best(values):
    """The first key within TIE of the highest value; None where a value is None."""
    if None in values.values():
        return None
    return next(key for key, value in values.items() if value >= max(values.values()) - TIE)


def second_table(runs):
    """The second list and what was trained longer, in Markdown; what the rule picks of each in bold."""
    rows = ["| p(y given b) from | width | smoothing | epochs | " + " | ".join(JUDGED_BY) + " |"]
    rows.append("|" + "---|" * (4 + len(JUDGED_BY)))
    for found in (second_list(runs), longer_list(runs)):
        picked = pick(found)
        for key, logs in found.items():
            values = [shown(last(logs, name)) for name in JUDGED_BY.values()]
            bold = "**" if key == picked else ""
            rows.append("| " + " | ".join([*key, f"{bold}{values[0]}{bold}", *values[1:]]) + " |")
    return "\n".join(rows)


def curves(runs):
    """{label: logs} of the second list and what was trained longer, for the figure; nothing before a run of them."""
    logs = {setting: logs_of(runs, setting) for setting in (*OF_FIRST.values(), *SECOND, *LONGER)}
    if not any(logs[setting] for setting in (*SECOND, *LONGER)):
        return {}
    keys = {setting: (*key, "10") for key, setting in OF_FIRST.items()}
    named = {}
    for setting, found in logs.items():
        prior, width, smoothing, epochs = keys.get(setting) or key_of(setting)
        if found:
            of_width = "" if width == "-" else f", width {width}"
            named[f"{prior}{of_width}, smoothing {smoothing}, {epochs} epochs"] = found
    return named


def second_part(runs):
    """The table and, once there is one, the figure, as the report has them."""
    figure = "![The same epoch by epoch](../results/selection2.png)"
    return second_table(runs) + (f"\n\n{figure}" if curves(runs) else "")
