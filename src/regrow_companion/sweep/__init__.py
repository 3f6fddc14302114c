"""Many runs: on the cores or GPUs of this machine or on a cluster, what they cost, and how they stand."""
