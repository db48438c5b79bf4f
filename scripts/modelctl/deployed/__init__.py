"""What is deployed: models, inputs, queues, results and logs, on the local stack as on AWS."""
