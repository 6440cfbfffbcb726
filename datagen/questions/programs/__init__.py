"""Questions made of programs: chains of steps that are records."""
