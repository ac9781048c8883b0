"""Questions answered from a small library: a manager, three kinds of workers, and a fact checker with a veto."""
