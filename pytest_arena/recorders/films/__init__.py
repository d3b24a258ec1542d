"""Films of episodes: filmed as they run or by replay, encoded, put together."""
