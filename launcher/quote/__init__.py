"""What a run needs and costs on each GPU, before anything is rented."""
