"""What a run will need before it is started: parameters, memory of each GPU, arithmetic, time and cost."""
