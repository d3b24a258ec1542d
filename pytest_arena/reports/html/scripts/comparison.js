playPairs(document);
