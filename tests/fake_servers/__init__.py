"""Policy servers without a model: their actions say what they were asked, and they misbehave where told to."""
