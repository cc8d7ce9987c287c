"""Who decides: routing and autoscaling policies, shipped and your own."""
