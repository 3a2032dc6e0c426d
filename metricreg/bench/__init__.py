"""Time and memory of objectives, measured in worker processes; `metricreg bench` shows them."""
