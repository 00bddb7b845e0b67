"""Loading examples with worker processes, without the front end.

    class Rows(Fetcher):
        def fetch(self, task, room):            # in a worker: a task to a batch
            out = room.empty((len(task), 64), np.dtype(np.float32))
            return {"x": np.take(self.x, task, axis=0, out=out)}

    with Pool(Rows(), workers=2) as pool:
        for epoch in range(3):
            for batch in pool.run(tasks_of(epoch)):   # in the order of the tasks
                ...

A task is anything that can be pickled, a batch any nest of objects and arrays. Arrays travel
through shared memory that is used again once the caller has dropped them: a batch that is kept is
never overwritten. `ArrayFetcher(arrays)` gathers rows of (memory-mapped) arrays; its tasks are
arrays of row numbers."""

from intaglio.runtime.loading.errors import Exhausted, LoadingError
from intaglio.runtime.loading.fetching import ArrayFetcher, Fetcher
from intaglio.runtime.loading.memory import Room
from intaglio.runtime.loading.pool import Pool

__all__ = ["ArrayFetcher", "Exhausted", "Fetcher", "LoadingError", "Pool", "Room"]
