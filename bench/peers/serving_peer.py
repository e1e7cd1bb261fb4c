"""The Python service that bench/serving.ts compares with: FastAPI, sentence-transformers, logistic regression.

Usage: serving_peer.py <model folder> <train.jsonl> <port>, in an environment with tools/requirements.txt and
fastapi, uvicorn and scikit-learn. Texts of requests that wait are encoded together, as ours are.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression

model_folder, train_file, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = SentenceTransformer(model_folder, device="cpu")
rows = [json.loads(line) for line in open(train_file, encoding="utf-8")]
features = model.encode([row["text"] for row in rows], batch_size=64, show_progress_bar=False)
classifier = LogisticRegression(max_iter=300, C=10.0)
classifier.fit(features, [row["label"] for row in rows])

waiting: asyncio.Queue = asyncio.Queue()
pool = ThreadPoolExecutor(max_workers=1)
MOST_TEXTS = 64


class Request(BaseModel):
    texts: list[str]
    top: int = 1


def answer(texts: list[str]) -> list[dict]:
    probabilities = classifier.predict_proba(
        model.encode(texts, batch_size=32, show_progress_bar=False)
    )
    best = np.argmax(probabilities, axis=1)
    return [
        {"label": str(classifier.classes_[place]), "score": float(probabilities[row, place])}
        for row, place in enumerate(best)
    ]


async def work() -> None:
    loop = asyncio.get_running_loop()
    while True:
        batch = [await waiting.get()]
        while len(batch) < MOST_TEXTS and not waiting.empty():
            batch.append(waiting.get_nowait())
        texts = [text for text, _ in batch]
        answers = await loop.run_in_executor(pool, answer, texts)
        for (_, future), given in zip(batch, answers):
            future.set_result(given)


@asynccontextmanager
async def lifespan(_: FastAPI):
    task = asyncio.get_running_loop().create_task(work())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/stores/bench/predict")
async def predict(request: Request) -> dict:
    futures = []
    for text in request.texts:
        future = asyncio.get_running_loop().create_future()
        waiting.put_nowait((text, future))
        futures.append(future)
    return {"predictions": [await future for future in futures]}


@app.get("/health/ready")
async def ready() -> dict:
    return {"status": "ok"}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
