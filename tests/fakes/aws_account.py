"""The account that tests run in: it exists nowhere."""

ACCESS_KEY = "AKIATESTINGTESTING00"
SECRET = "a-secret-that-opens-nothing"
API_KEY = "bedrock-api-key-of-an-account-that-is-none"
