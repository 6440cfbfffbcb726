"""What answers a question: the Model protocol, and models here, behind vLLM and behind a paid API."""
