"""``launch doctor --live``: what only a live account can prove, each as held or broken, and a certificate of it."""
