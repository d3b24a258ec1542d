jobOpened.push(playPairs);
