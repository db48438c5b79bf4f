"""What is deployed: models, inputs, queues, results and logs, on the local stack and on AWS alike."""
