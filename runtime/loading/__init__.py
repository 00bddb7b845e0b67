"""Loading examples with worker processes, without the front end."""
