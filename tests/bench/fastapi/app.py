from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Greeting(BaseModel):
    text: str
    count: int = 1


@app.get("/")
async def hello(count: int = 1) -> Greeting:
    return Greeting(text="Hello, World!", count=count)
