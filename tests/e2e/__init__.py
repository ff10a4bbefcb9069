"""The deployment on a real Kubernetes API server: started by `make e2e`, not by `make test`."""
