"""Our stages and PyTorch's, side by side: interleaved rounds, one process a library, medians and per-round ratios, ceilings at both ends.

    python bench/compare.py --ours build/bench/bench/bench_model --diffusion build/bench/bench/bench_diffusion
        --out bench/results/cpu-2026-11-22 [--only unet_sd15,unet_sdxl,vae] [--rounds 5] [--minutes 30]

Each round runs ours, PyTorch in bf16, PyTorch in f32, back to back; the diffusion stages one process each, so that the most memory that each
takes is known. Writes raw.json and table.md into --out and prints the table.
Exit status 0 also where goals are missed: losing rows stay in the table. Without PyTorch there are rows of ours alone.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
DEPTH, FFN, WIDTH = 18, 16384, 2048
CLIP = 23 * (577 * 2 * 12 * 1024**2 + 4 * 577**2 * 1024) + 2 * 576 * 588 * 1024
CONVNEXT = (sum(n * (192 >> i) ** 2 * (16 * (192 << i) ** 2 + 98 * (192 << i)) for i, n in enumerate((3, 3, 27, 3)))
            + sum(2 * (192 >> i) ** 2 * 4 * (96 << i) * (192 << i) for i in (1, 2, 3)) + 2 * 36864 * 48 * 192)
MINING = 2 * 576 * 1024 * (1024 + 2 * 2880)  # the products; what lies between is a few per cent more
PROJECTOR = 2 * 576 * (1024 * WIDTH + WIDTH**2)
PREFILL = DEPTH * (2 * 640 * WIDTH * (2 * WIDTH + 2 * 256 + 3 * FFN) + 2 * 640 * 641 * WIDTH) + 2 * WIDTH * 256000
UNET_SD15, UNET_SDXL, VAE = 803273441280, 1588778762240, 2514518933504  # counted by PyTorch's FlopCounterMode over diffusers' modules
# key, title, flops (None: bytes bind), goal as a ratio to the best of PyTorch
ROWS = (
    ("vision", "vision 768: both towers, mining, projector", CLIP + CONVNEXT + MINING + PROJECTOR, 0.75),
    ("vision_same_mining", "– the same, PyTorch with our mining's time in place of its own", None, None),
    ("clip", "– CLIP-L/14 336, 23 layers", CLIP, None),
    ("convnext", "– ConvNeXt-L 768", CONVNEXT, None),
    ("prefill", "prefill, 640 positions, MGM-2B", PREFILL, 0.75),
    ("mining", "mining 768, against the original formula", MINING, 30),
    ("decode", "decoding step, batch 1, MGM-2B", None, None),
    ("unet_sd15", "UNet step, SD 1.5, 512 px, batch 1", UNET_SD15, 0.75),
    ("unet_sdxl", "UNet step, SDXL, 512 px, batch 1", UNET_SDXL, 0.75),
    ("vae", "VAE decode, 512 px", VAE, 0.75),
)
DIFFUSION = ("unet_sd15", "unet_sdxl", "vae")
MODEL = ("vision", "mining", "prefill", "decode")


def shell(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=HERE).stdout.strip()
    except OSError:
        return ""


def run_ours(binary, pattern, dump=None):
    environment = dict(os.environ, **({"MGM_BENCH_DUMP": dump} if dump else {}))
    done = subprocess.run([binary, f"--benchmark_filter={pattern}", "--benchmark_format=json"], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{binary} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    return {b["name"].split("/iterations")[0]: b for b in json.loads(done.stdout)["benchmarks"]}


def run_peer(dtype, dump=None):
    command = [sys.executable, str(HERE / "peers/model_peer.py"), "--dtype", dtype] + (["--dump", dump] if dump else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"PyTorch {dtype} is left out: {(done.stderr.strip().splitlines() or ['killed, perhaps for memory'])[-1]}", file=sys.stderr)
    return {line["stage"]: line for line in map(json.loads, done.stdout.splitlines())}


def run_diffusion_peer(stage, dtype, dump=None):
    command = [sys.executable, str(HERE / "peers/diffusion_peer.py"), "--stage", stage, "--dtype", dtype] + (["--dump", dump] if dump else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"diffusers {dtype}, {stage}, is left out: {(done.stderr.strip().splitlines() or ['killed, perhaps for memory'])[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def run_diffusion(binary, stages, dtypes, dump):
    """One round: for each stage ours, then diffusers, as {who: {"stage": ms, "cpu": {...}, "peak_mb": {...}}}."""
    out = {who: {"cpu": {}, "peak_mb": {}} for who in ("ours", *dtypes)}
    for stage in stages:
        b = run_ours(binary, f"^{stage}/", dump("ours"))[f"{stage}/bf16"]
        out["ours"][stage], out["ours"]["cpu"][stage], out["ours"]["peak_mb"][stage] = b["real_time"], b["cpu_time"], b["peak_mb"]
        for dtype in dtypes:
            if peer := run_diffusion_peer(stage, dtype, dump(dtype)):
                out[dtype][stage], out[dtype]["cpu"][stage], out[dtype]["peak_mb"][stage] = peer["ms"], peer["cpu_ms"], peer["peak_mb"]
    return out


def our_times(b):
    v = b["vision/bf16"]
    return {"vision": v["real_time"], "clip": v["clip_ms"], "convnext": v["convnext_ms"], "mining": b["mining/bf16"]["real_time"],
            "mining_inside": v["mining_ms"], "prefill": b["prefill/bf16"]["real_time"], "decode": 1e3 / b["decode/bf16"]["tok/s"],
            "decode_gb_s": b["decode/bf16"]["GB/s"], "read_gb_s": b["read_weights/bf16"]["GB/s"],
            "cpu": {k: b[k + "/bf16"]["cpu_time"] for k in ("vision", "mining", "prefill", "decode")}}


def peer_times(s):
    out = {k: s[k]["ms"] for k in ("mining", "prefill") if k in s}
    if "vision" in s:
        v = s["vision"]
        out |= {"vision": v["ms"], "clip": v["clip_ms"], "convnext": v["convnext_ms"], "mining_inside": v["mining_ms"]}
    if "decode" in s:
        out |= {"decode": 1e3 / s["decode"]["tok_s"], "decode_gb_s": s["decode"]["gb_s"]}
    return out | {"cpu": {k: s[k]["cpu_ms"] for k in s}}


def errors(folder):
    """Relative distance of results from PyTorch's in f32, from the files of one round."""
    import numpy as np
    out = {}
    for stage in MODEL + DIFFUSION:
        read = lambda who: np.fromfile(f"{folder}/{who}/{stage}.f32", np.float32).astype(np.float64)
        try:
            ours, bf16, f32 = read("ours"), read("bf16"), read("f32")
        except OSError:
            continue
        out[stage] = {who: float(np.linalg.norm(x - f32) / np.linalg.norm(f32)) for who, x in (("ours", ours), ("bf16", bf16))}
    return out


def median(rounds, who, key):
    values = [r[who][key] for r in rounds if key in r.get(who, {})]
    return statistics.median(values) if values else None


def table(raw):
    rounds, ceilings = raw["rounds"], raw["ceilings"]
    peak = max(c["peak_bf16"] for c in ceilings)  # what the machine can do at most, when nobody else is on it
    for r in rounds:  # what PyTorch would take if it mined as we do
        for who in ("bf16", "f32"):
            if "vision" in r.get(who, {}):
                r[who]["vision_same_mining"] = r[who]["vision"] - r[who]["mining_inside"] + r["ours"]["mining_inside"]
        if "vision" in r["ours"]:
            r["ours"]["vision_same_mining"] = r["ours"]["vision"]
    moved = max(abs(ceilings[-1][k] / ceilings[0][k] - 1) for k in ("peak_bf16", "peak_f32", "read_sum"))
    word = lambda reached: ("met" if reached else "**missed**") + (" (void run)" if moved > 0.03 else "")
    show = lambda ms: "–" if ms is None else f"{ms / 1e3:.2f} s" if ms >= 1000 else f"{ms:.1f} ms"
    lines = ["| stage | ours, bf16 | PyTorch bf16 | PyTorch f32 | best PyTorch ÷ ours, median (least–most) | goal | floor | floor ÷ ours |",
             "|---|---|---|---|---|---|---|---|"]
    for key, title, flops, goal in ROWS:
        ours = median(rounds, "ours", key)
        if ours is None:
            continue
        peers = {who: median(rounds, who, key) for who in ("bf16", "f32")}
        best = min((w for w in peers if peers[w] is not None), key=lambda w: peers[w], default=None)
        ratios = [r[best][key] / r["ours"][key] for r in rounds if key in r.get(best, {})] if best else []
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "no peer"
        floor = 1e-6 * flops / peak if flops else None
        if key == "decode":
            floor = 1e3 * raw["weights_gb"] / median(rounds, "ours", "read_gb_s")
        verdict = "–" if goal is None else f"≥ {goal}: " + ("no peer" if not ratios else word(statistics.median(ratios) >= goal))
        if key == "decode":
            shares = [r["ours"]["decode_gb_s"] / r["ours"]["read_gb_s"] for r in rounds]
            verdict = f"≥ 60 % of read-sum: {word(statistics.median(shares) >= 0.6)}"
        share = f"{100 * floor / ours:.0f} %" if floor else "–"
        if key in DIFFUSION and ratios and best:
            memory = lambda who: statistics.median(r[who]["peak_mb"][key] for r in rounds if key in r.get(who, {}).get("peak_mb", {}))
            held = {w: memory(w) for w in peers if peers[w] is not None}
            verdict += f"; memory {memory('ours'):.0f} MB, {', '.join(f'{w} {mb:.0f}' for w, mb in held.items())}: "
            verdict += "below" if memory("ours") < min(held.values()) else "**not below**"
        lines.append(f"| {title} | {show(ours)} | {show(peers['bf16'])} | {show(peers['f32'])} | {ratio} | {verdict} | {show(floor)} | {share} |")
    if median(rounds, "ours", "decode"):
        tokens = 1e3 / median(rounds, "ours", "decode")
        lines += ["", f"Decoding: {tokens:.1f} tokens/s, {median(rounds, 'ours', 'decode_gb_s'):.1f} GB/s of weights as stored, "
                  f"{100 * statistics.median([r['ours']['decode_gb_s'] / r['ours']['read_gb_s'] for r in rounds]):.0f} % of a read-sum of the same bytes "
                  f"({median(rounds, 'ours', 'read_gb_s'):.1f} GB/s)."]
    busy = lambda who, key: statistics.median([r[who]["cpu"][key] for r in rounds if key in r.get(who, {}).get("cpu", {})] or [float("nan")])
    lines += ["CPU time of all threads, ours / PyTorch bf16 / f32, in s: " + "; ".join(
        f"{k} {busy('ours', k) / 1e3:.2f} / {busy('bf16', k) / 1e3:.2f} / {busy('f32', k) / 1e3:.2f}" for k in MODEL + DIFFUSION if median(rounds, "ours", k)) + " (decode: 16 steps)."]
    if raw["errors"]:
        lines += ["Relative distance from PyTorch in f32 on the same weights and inputs, ours / PyTorch bf16: "
                  + "; ".join(f"{k} {100 * e['ours']:.2f} % / {100 * e['bf16']:.2f} %" for k, e in raw["errors"].items()) + "."]
    words = lambda c: f"{c['peak_bf16']:.0f} and {c['peak_f32']:.0f} GFLOP/s (bf16, f32), {c['read_sum']:.1f} GB/s, load {c['load']}"
    lines += [f"Ceilings at the start: {words(ceilings[0])}; at the end: {words(ceilings[-1])}."]
    if moved > 0.03:
        lines += [f"**The ceilings moved by {100 * moved:.0f} % during the run (3 % are allowed): by the house's rule this run is void.**"]
    lines += [f"Machine: {raw['machine']}. PyTorch {raw['torch']}. Path: {raw['path']}. Commit {raw['commit']}. Rounds: {len(rounds)}, of them with f32 "
              f"{sum('f32' in r for r in rounds)} (the house's rule asks for 20). {raw['date']}.",
              "Load at the start and end of each round: " + ", ".join(f"{a}–{b}" for a, b in (r["load"] for r in rounds)) + ".",
              "Floors: flops at the highest bf16 peak of the run; for decoding, the weights' bytes at the read-sum. Random weights of true shapes. From normalised "
              "pixels, and from embedded rows; preprocessing, tokenizer and sampler are not in it. PyTorch runs eagerly, channels-last, with its fused attention."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--diffusion", required=True)
    parser.add_argument("--only", default="model," + ",".join(DIFFUSION), help="model (vision, mining, prefill, decode) and stages of diffusion")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60, help="no round begins that would end later")
    parser.add_argument("--f32-rounds", type=int, default=1000, help="rounds in which PyTorch runs in f32 too, the first ones")
    parser.add_argument("--bf16-rounds", type=int, default=1000, help="the same of bf16: few where the processor has no bf16 products")
    args = parser.parse_args()
    wanted = args.only.split(",")
    for stage in wanted:
        if stage not in ("model", *DIFFUSION):
            sys.exit(f"--only: '{stage}' is no stage; there are model, {', '.join(DIFFUSION)}")
    stages = [stage for stage in DIFFUSION if stage in wanted]
    start, rounds, lengths = time.monotonic(), [], {}  # of rounds, by which of PyTorch's types run
    try:
        import torch
        version = torch.__version__
    except ImportError:
        version = None
        print("PyTorch is not installed: no peers in this run", file=sys.stderr)

    def ceiling():
        b = run_ours(args.ours, "peak|read_sum")
        return {"peak_bf16": b["peak/bf16"]["GFLOP/s"], "peak_f32": b["peak/f32"]["GFLOP/s"], "read_sum": b["read_sum"]["GB/s"],
                "load": "%.1f" % os.getloadavg()[0]}, b["peak/bf16"]["label"]

    first, path = ceiling()
    ceilings, weights, distances = [first], 0.0, {}
    with tempfile.TemporaryDirectory() as folder:
        for who in ("ours", "bf16", "f32"):
            os.mkdir(f"{folder}/{who}")
        for i in range(args.rounds):
            kind = (i < args.bf16_rounds, i < args.f32_rounds)
            if i > 0 and time.monotonic() - start + lengths.get(kind, 0) > 60 * args.minutes:
                break
            begin, load = time.monotonic(), os.getloadavg()[0]
            dump = (lambda who: f"{folder}/{who}") if i == 0 else (lambda who: None)
            dtypes = [d for d, runs in zip(("bf16", "f32"), kind) if version and runs]
            entry = {who: {} for who in ("ours", *dtypes)}
            if "model" in wanted:
                b = run_ours(args.ours, "vision|mining|prefill|decode|weights", dump("ours"))
                weights = b["decode/bf16"]["GB"]
                entry["ours"] = our_times(b)
                for dtype in dtypes:
                    entry[dtype] = peer_times(run_peer(dtype, dump(dtype)))
            for who, found in run_diffusion(args.diffusion, stages, dtypes, dump).items():
                for key, value in found.items():
                    entry[who][key] = {**entry[who].get(key, {}), **value} if isinstance(value, dict) else value
            entry["load"] = [round(load, 1), round(os.getloadavg()[0], 1)]
            rounds.append(entry)
            ceilings.append(ceiling()[0])
            lengths[kind] = max(lengths.get(kind, 0), time.monotonic() - begin)
            if i == 0 and version:
                distances = errors(folder)
            print(f"round {i + 1}: {time.monotonic() - begin:.0f} s, load {entry['load']}, ceilings {ceilings[-1]}", file=sys.stderr, flush=True)
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    raw = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "machine": f"{model}, {os.cpu_count()} cores, 2 threads used",
           "commit": (shell("git", "rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if shell("git", "status", "--porcelain", "--", "../include") else ""),
           "torch": version or "absent", "path": path, "weights_gb": weights, "ceilings": ceilings, "errors": distances, "rounds": rounds}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "raw.json").write_text(json.dumps(raw, indent=1) + "\n")
    text = table(raw)
    (args.out / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
