"""How kernels are confined, seen from the pool: plans, users, a warden, and a probe of it all."""
