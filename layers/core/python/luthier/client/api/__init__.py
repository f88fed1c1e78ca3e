"""The methods of the clients and what they answer, generated from openapi.json."""
