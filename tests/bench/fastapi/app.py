from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

app = FastAPI()


class Greeting(BaseModel):
    text: str = "Hello, World!"
    count: int = 1


# What the benchmarks' client counts begins with Hello, as the other apps answer.
@app.get("/", response_class=PlainTextResponse)
async def hello(greeting: Annotated[Greeting, Query()]) -> str:
    return greeting.text * greeting.count
