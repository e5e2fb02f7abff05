# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python -m backend``. The same words as the add-on's operators."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from .errors import BackendError, refused_by_the_system
from .importing import let_waiting_threads_sleep, uncollected
from .lifeline import end_with_stdin

#: Of the fixed topology; ``face.correspondence`` has them, but loads PyTorch.
LEVELS_OF_DETAIL = ("narrow", "face", "skin", "head")
SURFACES = ("surface", "quads")

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

#: What ``--data`` is.
_ICT = "ICT-FaceKit: our .npz, or the repository"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 (failed), 2 (bad input) or 130 (Ctrl-C)."""
    let_waiting_threads_sleep()
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - pythonw has none
    options = _parser().parse_args(arguments)
    if options.end_with_stdin:
        end_with_stdin(EXIT_INTERRUPTED)
    try:
        return _run(options)
    except KeyboardInterrupt:
        go_on = ". Go on with --resume" if "resume" in options else ""
        print(f"Interrupted: what was finished is kept{go_on}.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    if options.command == "serve":  # before anything imports NumPy or PyTorch
        from .worker.server import serve

        return serve()
    with uncollected():
        from . import commands
        from .torchrun import wait_for_the_others

    try:
        answer = commands.COMMANDS[options.command](options)
        if options.json:
            print(json.dumps(answer), flush=True)
    except BackendError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        reason = refused_by_the_system(error)
        print(reason, file=sys.stderr)
        if options.json:
            with suppress(OSError):  # it may be stdout that cannot be written
                print(json.dumps({"failed": {options.command: reason}}), flush=True)
        return EXIT_FAILED
    if answer.get("interrupted"):
        return EXIT_INTERRUPTED
    if "failed" in answer:
        wait_for_the_others()
    return EXIT_FAILED if answer.get("failed") else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end at once when stdin does, as when the program that started this one is gone",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    for add in (_face_commands, _inspection_commands, _training_commands, _measuring_commands):
        add(commands, common)
    commands.add_parser("serve", help="answer jobs on stdin (what the add-on starts)")
    return parser


def _from(least: int, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """Return the type of an option that is a number from ``least`` up."""

    def number(text: str) -> float:
        value = kind(text)
        if not value >= least:  # a NaN is not
            raise argparse.ArgumentTypeError(f"{text} is out of range. Give {least} or more.")
        return value

    return number


def _with_weights(
    commands: argparse._SubParsersAction, common: argparse.ArgumentParser, name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, parents=[common])
    parser.add_argument("--weights", type=Path, help="a weights file; default: the bundled one")
    return parser


def _meshed_command(
    commands: argparse._SubParsersAction, common: argparse.ArgumentParser, name: str, text: str
) -> argparse.ArgumentParser:
    """Add a command that ends with a face's mesh."""
    parser = _with_weights(commands, common, name, text)
    parser.add_argument("--resolution", type=int, default=256, help="of the surface's grid")
    parser.add_argument(
        "--topology",
        choices=(*SURFACES, *LEVELS_OF_DETAIL),
        default="surface",
        help="surface, quads: the field's own surface, as triangles or even quads; narrow, face, "
        "skin, head: ever more of the head",
    )
    return parser


def _face_commands(commands: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    command = partial(_meshed_command, commands, common)
    generate = command("generate", "draw a random face")
    generate.add_argument("--seed", type=int, default=1)
    generate.add_argument("--strength", type=float, default=1.0)
    generate.add_argument("--out", type=Path, required=True, metavar="FILE")
    express = command("express", "give a face's person another expression, or none")
    express.add_argument("codes", type=Path, metavar="CODES.json")
    express.add_argument("--out", type=Path, required=True, metavar="FILE")
    for parser in (generate, express):
        parser.add_argument(
            "--expression", nargs="+", default=[], metavar="NAME=VALUE", help="such as jawOpen=0.7"
        )
        parser.add_argument(
            "--slider",
            nargs="+",
            default=[],
            metavar="NAME=VALUE",
            help="standard deviations, such as noseLength=1.5; `sliders` lists them",
        )

    fit = command("fit", "fit scans, lying anyhow, in any unit; landmarks may help")
    fit.add_argument(
        "scans", type=Path, nargs="+", metavar="SCAN", help="a file, or a folder of them"
    )
    fit.add_argument("--out", type=Path, required=True, metavar="DIR")
    fit.add_argument(
        "--refine", action="store_true", help="capture detail that codes cannot express, up to 5 mm"
    )
    fit.add_argument("--resume", action="store_true", help="keep what an earlier call has fitted")
    fit.add_argument(
        "--landmarks",
        type=Path,
        metavar="FILE",
        help="of one scan, where its face is hard to find: 5 or 68 points (docs/training.md)",
    )

    blend = command("blend", "blend a face with another, or with the mean of several")
    blend.add_argument("a", type=Path, metavar="A.json")
    blend.add_argument("others", type=Path, nargs="+", metavar="B.json")
    blend.add_argument("--weight", type=float, default=0.5, help="0 is A, 1 is B")
    blend.add_argument("--what", choices=("identity", "expression", "both"), default="identity")
    blend.add_argument(
        "--regions",
        nargs="+",
        default=[],
        metavar="NAME",
        help="brows, eyes, nose, mouth, jaw: only there; default: everywhere",
    )
    blend.add_argument("--out", type=Path, required=True, metavar="FILE")


def _inspection_commands(
    commands: argparse._SubParsersAction, common: argparse.ArgumentParser
) -> None:
    command = partial(_with_weights, commands, common)
    keys = command("shape-keys", "build all named expressions of a face on one topology")
    keys.add_argument("codes", type=Path, metavar="CODES.json")
    keys.add_argument("--names", nargs="+", metavar="NAME", help="default: all")
    keys.add_argument("--topology", choices=LEVELS_OF_DETAIL, default="face")
    keys.add_argument("--out", type=Path, required=True, metavar="FILE.npz")

    sliders = command("sliders", "list the sliders of a face's shape, and what each does")
    sliders.add_argument(
        "--people", type=_from(0), default=0, help="also measure it on this many exact heads (slow)"
    )

    query = command("query", "evaluate the fields of a face of the training tables")
    query.add_argument("--identity", type=int, required=True)
    query.add_argument("--expression", type=int, required=True, help="0 is neutral")
    query.add_argument("--points", type=Path, required=True, metavar="P.npy")
    query.add_argument("--out", type=Path, required=True, metavar="FILE.npz")

    released = commands.add_parser(
        "import-checkpoint", help="read a checkpoint of the paper's code", parents=[common]
    )
    released.add_argument("folder", type=Path, metavar="DIR")
    released.add_argument("--out", type=Path, required=True, metavar="FILE")


def _training_commands(
    commands: argparse._SubParsersAction, common: argparse.ArgumentParser
) -> None:
    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, parents=[common])

    prepare = command("prepare", "make a cache of training samples; run again to go on")
    prepare.add_argument(
        "--data", type=Path, required=True, help=f"{_ICT}; or a folder of scans (docs/training.md)"
    )
    prepare.add_argument("--config", type=Path, metavar="FILE.toml")
    prepare.add_argument("--cache", type=Path, required=True, metavar="DIR")
    prepare.add_argument("--workers", type=int, default=2)
    train = command("train", "train a model (torchrun shares it among processes)")
    train.add_argument("--config", type=Path, metavar="FILE.toml")
    train.add_argument("--cache", type=Path, required=True, metavar="DIR")
    train.add_argument("--out", type=Path, required=True, metavar="DIR")
    train.add_argument("--data", type=Path, help=f"{_ICT}, if the configuration has passers_by")
    train.add_argument("--minutes", type=_from(0, float), help="fit the schedule to this time")
    begin = train.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true")
    begin.add_argument(
        "--start-from",
        type=Path,
        metavar="FILE",
        help="begin with another run's checkpoint, or with a published .safetensors",
    )
    publish = command("publish", "turn a training checkpoint into a weights folder")
    publish.add_argument(
        "checkpoint", type=Path, help="or a published .safetensors, whose head is made anew"
    )
    publish.add_argument(
        "--data", type=Path, help=f"{_ICT}, if it was trained on: gives the head and expressions"
    )
    publish.add_argument("--out", type=Path, required=True, metavar="DIR")


def _measuring_commands(
    commands: argparse._SubParsersAction, common: argparse.ArgumentParser
) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="measure a model on faces it has never seen", parents=[common]
    )
    evaluate.add_argument("--data", type=Path, required=True, help=_ICT)
    evaluate.add_argument("--weights", type=Path)
    evaluate.add_argument("--card", action="store_true", help="write the figures to its card")
    evaluate.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="tables, pictures; goes on with them"
    )
    evaluate.add_argument("--people", type=_from(0), default=40, help="held out, three scans each")
    evaluate.add_argument("--makehuman", type=Path, metavar="FILE.npz")
    evaluate.add_argument("--limit", type=_from(0), default=200, help="MakeHuman heads at most")
    evaluate.add_argument("--scans", type=Path, nargs="+", default=[], metavar="SCAN")
    evaluate.add_argument(
        "--damaged", type=_from(0), default=2, help="people, with noise, holes, ..."
    )
    evaluate.add_argument(
        "--poses",
        type=_from(0),
        default=0,
        help="other ways, 34 at most, to lay real scans and heads",
    )
    evaluate.add_argument(
        "--graded", action="store_true", help="damage them at three strengths each"
    )
    evaluate.add_argument("--refine", action="store_true", help="also fit the detail of all scans")
    evaluate.add_argument(
        "--expressed", type=_from(0), default=8, help="people with all expressions"
    )
    evaluate.add_argument("--faces", type=_from(0), default=1000, help="random faces to inspect")
    evaluate.add_argument(
        "--heads", type=_from(0), default=12, help="people in all expressions, if it has a head"
    )
    ablate = commands.add_parser(
        "ablate",
        help="train without each part of the method, and measure; goes on",
        parents=[common],
    )
    ablate.add_argument("--data", type=Path, required=True, help=_ICT)
    ablate.add_argument("--config", type=Path, metavar="FILE.toml")
    ablate.add_argument("--cache", type=Path, required=True, metavar="DIR")
    ablate.add_argument("--out", type=Path, required=True, metavar="DIR")
    ablate.add_argument("--minutes", type=_from(0, float), default=20, help="of training, each")
    ablate.add_argument("--variants", nargs="+", metavar="NAME", help="default: all")
    ablate.add_argument("--people", type=_from(1), default=5, help="held out, three scans each")


if __name__ == "__main__":
    sys.exit(main())
