"""The account that tests run in: it exists nowhere."""

ACCESS_KEY = "AKIATESTINGTESTING00"
SECRET = "a-secret-that-opens-nothing"
