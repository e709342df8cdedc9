from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

app = FastAPI(title="Shop")
stored = []


class Item(BaseModel):
    name: str = Field(min_length=1)
    price: float = Field(gt=0)
    tags: set[str] = set()


@app.get("/items/{item_id}")
def read_item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}


@app.post("/items", status_code=201)
async def create_item(item: Item, background: BackgroundTasks) -> Item:
    background.add_task(stored.append, item.name)
    return item


@app.get("/stored")
async def read_stored() -> list[str]:
    return stored


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(3):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text((await socket.receive_text()).upper())
