"""The process of one episode: runs the cells that a model wrote, and captures output and answer."""
