"""The console: REST API, WebSocket events and pages over the same functions that the command line uses."""
