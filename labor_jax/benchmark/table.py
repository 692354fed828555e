"""The figures of a benchmark as text."""

from typing import Any

TOP = 5
"""How many of a program's costliest lines are printed; JSON has more."""
HEAD = f"{'':<26}{'images/s':>10}{'GFLOP':>10}{'of peak':>9}{'GB':>8}{'of bandw.':>11}"
HEAD += f"{'at least':>10}{'compiled in':>13}{'memory':>11}"


def table(found: dict[str, Any]) -> str:
    """The figures as text."""
    d = found["device"]
    lines = [f"{d['kind']}: {d['flops'] / 1e9:,.0f} GFLOP/s, {d['bandwidth'] / 1e9:,.1f} GB/s"]
    lines[0] += f" ({d['source']})"
    programs = {
        f"{part} {name}": values
        for part in found.keys() - {"input", "predict", "growth", "device", "peak_bytes"}
        for name, values in found[part].items()
        if "flops" in values
    }
    if programs:
        lines.append(HEAD)
    for name, p in sorted(programs.items()):
        lines.append(
            f"{name:<26}{p['images_per_second']:>10.2f}{p['flops'] / 1e9:>10.2f}"
            f"{p['flops_share']:>9.1%}{p['bytes'] / 1e9:>8.2f}{p['bytes_share']:>11.1%}"
            f"{p['least_bytes_share']:>10.1%}{p['compile_seconds']:>11.1f} s"
            f"{p['program_bytes'] / 2**20:>7.0f} MiB"
        )
    if "evaluate" in found:
        whole = found["evaluate"]["evaluate"]["images_per_second"]
        lines.append(f"evaluate, reading and counting: {whole:.2f} images/s")
    if "input" in found:
        i = found["input"]
        lines.append(
            f"input pipeline alone: {i['images_per_second']:.1f} images/s; a step takes "
            f"{i['step_seconds']:.3f} s, from memory {i['step_seconds_in_memory']:.3f} s: "
            f"idle {i['idle_share']:.1%}, starved at {i['starved_share']:.0%} of the steps; "
            f"{i['transfers']} transfers a batch in {1e3 * i['transfer_seconds']:.2f} ms"
        )
    if "predict" in found:
        p = found["predict"]
        lines.append(
            f"predict, {p['images']} files read and written: {p['files_images_per_second']:.1f} "
            f"images/s, {p['share']:.0%} of {p['in_memory_images_per_second']:.1f} images/s from "
            f"memory"
        )
    for name, values in found.get("profile", {}).items():
        lines.append(f"{name}: the costliest lines")
        for row in values["costliest"][:TOP]:
            what = f"{row['kind']}{', backward' if row['backward'] else ''}"
            lines.append(
                f"{row['share']:>8.1%}{1e3 * row['seconds']:>9.2f} ms  {row['line']:<32}{what}"
                f" ({row['operations']} operations)"
            )
    for what, rows in found.get("growth", {}).items():
        for row in rows:
            more = ", ".join(
                f"{value / 2**20:.1f} MiB of {name.removesuffix('_bytes')}"
                if name.endswith("bytes")
                else f"{value:.4f} s"
                for name, value in row.items()
                if name != what
            )
            lines.append(f"{row[what]:>10,} {what}: {more}")
    return "\n".join([*lines, f"most memory held: {found['peak_bytes'] / 2**20:,.0f} MiB"])


COMPILED = f"{'a device:':<18}{'held':>9}{'of it temporary':>17}{'free':>12}{'GFLOP':>10}{'GB':>8}"
COMPILED += f"{'exchanged':>12}{'at least':>12}{'bound by':>12}{'compiled in':>13}"


def compiled(found: dict[str, Any]) -> str:
    """What `compile.run` found, as text."""
    d = found["device"]
    lines = [
        f"{found['topology']}, {found['devices']} x {d['kind']}: {d['flops'] / 1e12:,.0f} TFLOP/s, "
        f"{d['bandwidth'] / 1e9:,.0f} GB/s ({d['source']})",
        COMPILED,
    ]
    for name, p in found["programs"].items():
        if not p["fits"]:
            lines.append(f"{name:<18} does not fit: {p['told']}")
            continue
        lines.append(
            f"{name:<18}{p['held'] / 2**30:>5.2f} GiB{p['temporaries'] / 2**30:>13.2f} GiB"
            f"{p['free'] / 2**30:>8.2f} GiB{p['flops'] / 1e9:>10.1f}{p['bytes'] / 1e9:>8.2f}"
            f"{p['collective_bytes'] / 1e6:>9.1f} MB{1e3 * p['seconds']:>9.1f} ms"
            f"{p['bound']:>12}{p['compile_seconds']:>11.1f} s"
        )
    return "\n".join(lines)
