"""Evolve a sequence with CREsted as often as asked. Runs in its environment, not in ours.

Started with a model, a sequence and a number of steps. Writes a line once it is ready, and for
every line that it reads one of JSON: seconds on the clock and of the process, and the design.

Requirements: crested 1.11 with TensorFlow.
"""

import argparse
import contextlib
import json
import os
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

#: Positions that may change in the run that warms up.
FEW = 32


def main(arguments=None):
    """Answer until nothing more is asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="Keras file")
    parser.add_argument("--sequence", required=True, help="letters to begin with")
    parser.add_argument("--steps", type=int, required=True, help="substitutions to make")
    given = parser.parse_args(arguments)
    answers = sys.stdout
    # What others print, CREsted when it is imported, would be taken for an answer.
    with contextlib.redirect_stdout(sys.stderr):
        for said in evolved(given):
            answers.write(f"{json.dumps(said)}\n")
            answers.flush()


def evolved(given):
    """Something once all is ready, and then a design for every line that is read."""
    import keras
    from crested.tl.design import in_silico_evolution

    model = keras.models.load_model(given.model, compile=False)
    settings = {"target": 0, "model": model, "starting_sequences": given.sequence}
    in_silico_evolution(1, target_len=FEW, **settings)
    yield {"ready": True}
    for _ in sys.stdin:
        clock, process = time.perf_counter(), time.process_time()
        design = in_silico_evolution(given.steps, **settings)[0]
        spent = time.process_time() - process
        yield {"clock": time.perf_counter() - clock, "process": spent, "design": design}


if __name__ == "__main__":
    main()
