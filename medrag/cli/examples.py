"""One line for each command that shows it at work; the tests run them. ``--help`` ends with it."""

from __future__ import annotations

import typer

EXAMPLES = {
    "demo": "medrag demo --out demo.html",
    "ask": 'medrag ask "What is a pleural effusion?" --index mine.yaml --explain',
    "chat": 'echo "What is a pleural effusion?" | medrag chat --index mine.yaml',
    "findings": "medrag findings film.dcm",
    "calibrate": "medrag calibrate iu --task iu_xray_balanced=100 --task vqa_rad",
    "serve": "medrag serve --index mine.yaml --port 8123",
    "mcp": "medrag mcp --index mine.yaml < /dev/null",
    "doctor": "medrag doctor --hosts --index mine.yaml",
    "corpus list": "medrag corpus list",
    "corpus add": "medrag corpus add more text notes --recipe grown.yaml",
    "corpus check": "medrag corpus check mine.yaml",
    "corpus deidentify": "medrag corpus deidentify film.dcm clean --no-pixels",
    "index build": "medrag index build mine.yaml",
    "index info": "medrag index info mine.yaml",
    "index search": 'medrag index search mine.yaml "pleural effusion" -k 3',
    "index tune": "medrag index tune near.yaml --recall 0.98",
    "index delete": "medrag index delete mine.yaml --doc reports:3 --yes",
    "index convert": "medrag index convert near.yaml --to flat --out flat.yaml",
    "index compact": "medrag index compact mine.yaml",
    "index snapshot": "medrag index snapshot mine.yaml --to saved",
    "index restore": "medrag index restore mine.yaml --from saved",
    "graph build": "medrag graph build mine.yaml",
    "graph info": "medrag graph info --index mine.yaml",
    "graph link": 'medrag graph link "No pleural effusion." --index mine.yaml',
    "graph path": 'medrag graph path "pleural effusion" "abnormal pleura morphology" --index mine.yaml',
    "graph codes": 'medrag graph codes "pleural effusion" --index mine.yaml',
    "graph neighbours": 'medrag graph neighbours "pleural effusion" --index mine.yaml',
    "models list": "medrag models list",
    "models get": "medrag models get minilm --dry-run",
    "audit verify": "medrag audit verify audit.log",
    "eval list": "medrag eval list",
    "eval run": "medrag eval run iu_xray_balanced --arm majority --arm question-only --limit 20 --out results",
    "eval compare": "medrag eval compare results/iu_xray_balanced-val-question-only.json results/iu_xray_balanced-val-majority.json",
    "eval report": "medrag eval report results --out report.html",
    "tune pairs": "medrag tune pairs preferences --limit 1000 --again 80",
    "tune train": "medrag tune train preferences/pairs.jsonl --out tuned --set steps=100",
    "tune report": "medrag tune report --without results/iu_xray_balanced-val-majority.jsonl --with results/iu_xray_balanced-val-question-only.jsonl",
}  # fmt: skip


def show(app: typer.Typer, path: str = "") -> None:
    """Ends the help of every command under ``app`` with its example. Raises KeyError for a command without one."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        command.epilog = f"Example: {EXAMPLES[f'{path} {name}'.strip()]}"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            show(group.typer_instance, f"{path} {group.name}".strip())
