"""The process that reads tables once and forks a child per episode; and the service that starts it."""
