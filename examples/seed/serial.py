"""Producer and consumer one after the other: the consumer must wait until everything has been produced."""


def producer():
    return [i for i in range(10)]


def customer(obj):
    for i in range(len(obj)):
        res = obj.pop()
        print(res)


if __name__ == "__main__":
    l = producer()
    customer(l)
