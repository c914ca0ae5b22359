"""``python -m training CONFIG.yaml --run-dir RUN``: one process of a run, under any launcher."""

from training.entry import main

if __name__ == "__main__":
    main()
