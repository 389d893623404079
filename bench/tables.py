"""What the benchmark measured, as Markdown tables."""

METHODS = ("lntl", "baseline")
PRECISIONS = ("float32", "tf32", "bfloat16")
BATCH, EPOCH = 128, 469  # images, iterations
OPENMP = "OpenMP's own"  # the setting that the others are compared with
MATRIX = 2048  # rows of the matrix product that serves as a yardstick


def table(figures):
    """The figures as a Markdown table."""
    machine = figures["environment"]
    name = machine["gpu"] if figures["device"] == "cuda" else f"{machine['processor']}, {machine['threads']} threads"
    lines = [
        f"{name}; PyTorch {machine['torch']}; median of {figures['rounds']} rounds of {figures['iterations']} "
        f"iterations, batch {BATCH}",
        "",
        "| | ms an iteration | s an epoch | times as fast | share of peak |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS:
        own = figures[method]
        for precision in ("reference", *PRECISIONS):
            ms = own[f"{precision}_ms"]
            if ms is None:
                continue
            rate = figures["matrix_gflops"].get("float32" if precision == "reference" else precision)
            share = f"{own['gflop'] / ms * 1e3 / rate:.0%}" if rate else ""
            what = "straightforward" if precision == "reference" else precision
            lines.append(
                f"| {method}, {what} | {ms:.3g} | {ms * EPOCH / 1e3:.3g} | {own['reference_ms'] / ms:.2f} | {share} |"
            )
    rates = ", ".join(f"{kind} {rate:.0f}" for kind, rate in figures["matrix_gflops"].items() if rate)
    lines += [
        "",
        f"Peak: {MATRIX} x {MATRIX} matrix product, {rates} GFLOP/s; an LNTL iteration needs "
        f"{figures['lntl']['gflop']:.1f} GFLOP, a baseline one {figures['baseline']['gflop']:.1f}. "
        f"Start to the end of the first iteration {figures['start_seconds']:.1f} s, peak memory "
        f"{figures['peak_memory_mb']:.0f} MB, data of a variance built in {figures['data_seconds']:.1f} s.",
    ]
    if "bfloat16" in figures:
        lines[-1] += f" bfloat16 {figures['bfloat16']}."
    return "\n".join(lines)


def comparison(records):
    """The times an iteration of several records side by side, as a Markdown table; records: {column: figures}."""
    rows = ["| ms an iteration, times as fast | " + " | ".join(records) + " |", "|---|" + "---|" * len(records)]
    for method in METHODS:
        for precision in ("reference", *PRECISIONS):
            entries = []
            for figures in records.values():
                ms, reference = (figures[method][f"{name}_ms"] for name in (precision, "reference"))
                faster = "" if precision == "reference" or not ms else f", **{reference / ms:.2f}**"
                entries.append(f"{ms:.3g}{faster}" if ms else "-")
            if any(entry != "-" for entry in entries):
                what = "straightforward" if precision == "reference" else precision
                rows.append(f"| {method}, {what} | " + " | ".join(entries) + " |")
    return "\n".join(rows)


def beside(figures):
    """The figures of bench/neighbour.py as a Markdown table; ratios are to OpenMP's own setting, alone."""
    machine, settings = figures["environment"], figures["settings"]
    base = settings[OPENMP]["alone_ms"]
    lines = [
        f"{machine['processor']}, {machine['threads']} threads; PyTorch {machine['torch']}; median of "
        f"{figures['rounds']} rounds of {figures['iterations']} LNTL iterations in float32",
        "",
        "| setting | ms alone | beside a busy process | times as long, alone | beside | other work, processors |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in settings.items():
        alone, beside = own["alone_ms"], own["beside_ms"]
        others = "-" if own["others"] is None else f"{own['others']:.1f}"
        lines.append(f"| {name} | {alone:.3g} | {beside:.3g} | {alone / base:.2f} | {beside / base:.2f} | {others} |")
    return "\n".join(lines)


def waiting(figures):
    """The figures of bench/waiting.py as a Markdown table."""
    machine = figures["environment"]
    lines = [
        f"{machine['processor']}, {machine['threads']} threads; {figures['images']} images, ResNet-18 at "
        f"{figures['size']} pixels",
        "",
        "| images | s of reading before the first epoch | s an epoch | of it waiting |",
        "|---|---|---|---|",
    ]
    for name in ("in memory", "read ahead"):
        before, seconds, waited = figures[name]
        lines.append(f"| {name} | {before:.1f} | {seconds:.1f} | {waited / seconds:.1%} |")
    return "\n".join(lines)
