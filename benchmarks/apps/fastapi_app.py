"""A FastAPI view with a body model and a response model."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Line(BaseModel):
    name: str
    amount: int
    price: float


class Order(BaseModel):
    customer: str
    lines: list[Line]


class Total(BaseModel):
    customer: str
    total: float


@app.post('/orders')
async def order(order: Order) -> Total:
    return Total(customer=order.customer, total=sum(line.amount * line.price for line in order.lines))
