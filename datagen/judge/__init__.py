"""How an answer is judged: compared with the truth, with other attempts, and the verdict on an episode."""
