"""Many recordings: side by side in processes of this machine, overnight, or on a cluster."""
